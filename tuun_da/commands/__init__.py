"""What each command of ``tuun-da`` does, once its options are read."""
