"""Running the trainings of a study."""
