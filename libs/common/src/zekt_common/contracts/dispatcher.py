"""What the dispatcher publishes: nothing yet. Deliveries are followed through its REST API."""
