"""Many trainings: a task and prices in, a record out."""
