"""Sessions of Strands agents on Amazon S3 or on disk, whole, in order, and without lost turns.

Import what you need from its module, as with Strands' own session package:

    from agent_sessions.s3_session_manager import S3SessionManager

Importing this package imports nothing else, so that a function that only computes a key prefix or an expiry date
pays for neither boto3 nor an agent runtime.
"""

__version__ = "0.1.0"
