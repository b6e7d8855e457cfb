"""Training and evaluating one trial; knows nothing of Ray."""
