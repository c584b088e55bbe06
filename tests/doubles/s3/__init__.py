"""A small Amazon S3 in memory, written from S3's documented behaviour and independent of moto.

``store`` holds what S3 holds and decides what S3 decides; ``service`` speaks the REST protocol; ``http`` modules move
bytes; ``faults`` and ``clock`` are what tests turn. ``tests.doubles.s3_server`` puts them together.
"""
