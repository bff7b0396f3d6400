"""Reading what a person wrote as strictly as it can be: YAML, keys, types, arguments."""
