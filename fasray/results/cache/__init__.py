"""Derived files that spare reading a long run's score files again."""
