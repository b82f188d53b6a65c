"""Who is calling: GitHub Actions runs, other services, the operator."""
