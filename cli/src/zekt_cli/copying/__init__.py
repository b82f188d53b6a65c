"""Moving a store from one engine to another, as it is."""
