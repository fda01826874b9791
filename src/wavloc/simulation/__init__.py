"""Room simulation: from scenes (who sounds where) to frames."""
