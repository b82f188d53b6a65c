"""The subset of Cosmos SQL that the stand-in answers."""
