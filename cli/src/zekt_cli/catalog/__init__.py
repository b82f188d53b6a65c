"""The catalog as code: reading a file, naming what is wrong with it by line and column, and showing what changes."""
