"""What a request tells CloudWatch of itself: one line of embedded metrics, written when the request is over."""
