// The control plane as the admin server shows it.

import Control
import Telemetry

public struct ControlPlaneView: AdminSource {
    private let control: ControlPlane
    private let file: String
    private let build: BuildInfo

    public init(_ control: ControlPlane, file: String, build: BuildInfo) {
        self.control = control
        self.file = file
        self.build = build
    }

    public func metricsText() -> [UInt8] { control.metrics.snapshot().prometheusText() }
    public func status() -> StatusSnapshot { StatusSnapshot() }
    public func reload() -> ReloadResult { ReloadResult(ok: false, generation: 0, atUs: 0) }
    public func isReady() -> Bool { control.isReady }
}
