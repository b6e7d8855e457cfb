"""One printable file per paper, the contract they keep (``base``) and the list of their names (``registry``)."""
