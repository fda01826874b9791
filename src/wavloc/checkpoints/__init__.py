"""Models made elsewhere: import of the authors' files, parity with their outputs."""
