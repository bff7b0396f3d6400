from tipsc.search.choose import Candidate, Selection, area, choose, pareto_front
