// Telemetry: see ARCHITECTURE.md
