"""``fasray watch``: a local web page that shows runs as they go, read from their directories alone.

``outline`` says what a run will hold, ``state`` folds the event log into what the page shows, ``followed`` reads the
log as it grows, ``rungs`` says who was stopped and why, ``confirmed`` computes the figures of cells whose runs have all
ended, ``access`` decides who may look, ``app`` and ``serve`` serve it all; ``page`` has what the browser loads.

The page shows source-dev figures. What is known of a target is read, and sent, only once its cell is confirmed.
"""
