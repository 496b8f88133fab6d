"""What each dimension counts: shipped weights, which ones are admissible, and weights fitted to human votes. Light half."""
