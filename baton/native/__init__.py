"""C++ that is compiled on the machine it runs on, once, into the user's cache. Knows no torch."""
