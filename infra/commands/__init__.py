"""What an operator runs beside the CDK CLI: destroy, smoke, the configuration's page."""
