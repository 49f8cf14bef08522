"""int8 for networks of convolutions. To be read in this order: `network`, `requantisation`, `blocks`, `static_qdq`."""
