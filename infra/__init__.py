"""The CDK side of the kit: one construct per capability, one thin stack, one typed configuration."""
