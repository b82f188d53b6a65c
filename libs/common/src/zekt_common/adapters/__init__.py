"""The adapters of the ports, each file named for its backend; vendor errors are translated here."""
