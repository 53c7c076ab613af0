"""Models of the outside world that tests run the product against."""
