"""Who may do what: IAM statements as values, and the waived findings of cdk-nag."""
