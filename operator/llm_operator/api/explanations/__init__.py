"""What each reason means to the person who reads it; ``reasons`` joins the tables."""
