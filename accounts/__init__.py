"""Who is asking: people, their verified identity, staff and their second factor, and who may ask for whom."""
