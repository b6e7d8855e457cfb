"""From face sets to batches: pools, samplers, read schedules, augmentation."""
