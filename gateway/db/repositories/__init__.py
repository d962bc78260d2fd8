"""The repositories of ``gateway/service/unit_of_work.py``, one file an aggregate, on one session each."""
