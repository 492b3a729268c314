"""What a run or a policy is shown with."""
