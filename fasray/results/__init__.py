"""From score files to numbers, tables, pictures and a report; pure functions, no Ray and no torch."""
