"""Both ends of the wire between a station's edge node and the cloud."""
