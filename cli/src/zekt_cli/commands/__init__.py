"""The commands, one module each; the group imports only the one that is called."""
