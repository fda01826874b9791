"""From metrics to what people read: tables, figures and one self-contained report page."""
