from conftest_engine import *  # noqa: F403
