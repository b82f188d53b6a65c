"""Creating in Azure what the services expect to find there."""
