// The control plane as a whole, in virtual time and without its workers' threads: what is accepted when, what
// becomes of it, and that nobody who only looks waits for a snapshot that is being made.

import Configuration
import Glibc
import Reactor
import Telemetry
import Testing

@testable import Control

/// A configuration that tests write anew.
private final class WrittenSource: ConfigurationSource {
    private let written: Locked<String>
    let name = "weir.yaml"

    init(_ text: String) { written = Locked(text) }

    func write(_ text: String) { written.withLock { $0 = text } }
    func text() -> Result<[UInt8], ConfigurationErrors> { .success(Array(written.withLock { $0 }.utf8)) }
}

/// Time that stands, questions that are remembered, and a gate in front of every snapshot.
private final class Stage: Sendable {
    struct State {
        var nowMs: UInt64 = 1_000
        var asked: [String: @Sendable (ResolveResult) -> Void] = [:]
        var isShut = false
        var atGate = 0
    }
    let state = Locked(State())

    var surroundings: ControlPlane.Surroundings {
        ControlPlane.Surroundings(
            nowNs: { self.state.withLock { $0.nowMs } * 1_000_000 }, random: { 0.5 },
            ask: { name, answer in self.state.withLock { $0.asked[name] = answer } },
            made: {
                self.state.withLock { $0.atGate += 1 }
                while self.state.withLock({ $0.isShut }) { usleep(500) }
            })
    }

    func pass(ms: UInt64) { state.withLock { $0.nowMs += ms } }
    func shut(_ isShut: Bool) { state.withLock { $0.isShut = isShut } }
    var made: Int { state.withLock { $0.atGate } }

    func answer(_ name: String, _ addresses: [String]) {
        let answer = state.withLock { $0.asked.removeValue(forKey: name) }
        answer?(.addresses(addresses.compactMap { IPAddress($0) }, ttlSeconds: 60, isComplete: true))
    }
}

@Suite(.timeLimit(.minutes(2))) struct ControlPlaneTests {
    private let stage = Stage()
    private let source: WrittenSource
    private let control: ControlPlane

    private static let serial = Locked(0)
    private let path: String

    private func text(services: Int, drain: String = "10s") -> String { Self.text(path, services, drain) }

    private static func text(_ path: String, _ services: Int, _ drain: String) -> String {
        var text = "admin: off\nworkers: 1\nlisteners: { web: { address: \"unix:\(path)\" } }\nservices:\n"
        for number in 0..<services { text += "  s\(number): { endpoints: [\"app\(number).test:80\"] }\n" }
        text += "routes:\n"
        for number in 0..<services {
            text += "  - { name: r\(number), match: { path: /p\(number)/* }, service: s\(number) }\n"
        }
        return text + "drain: \(drain)\n"
    }

    init() throws {
        let serial = Self.serial.withLock { serial in
            serial += 1
            return serial
        }
        path = "/tmp/weir-control-\(getpid())-\(serial)"
        source = WrittenSource(Self.text(path, 50, "10s"))
        control = try ControlPlane(
            source.load().get(), source: source, build: BuildInfo(version: "1"), log: Log(level: .error),
            surroundings: stage.surroundings, wake: {})
    }

    private var values: ControlValues { control.metrics.control.values(nowMs: control.nowMs) }

    private func addresses(_ service: String) -> [String] {
        control.current().snapshot.services.compactMap { $0 }.first { "\($0.name)" == service }?.endpoints.map
        {
            "\($0.address)"
        } ?? []
    }

    @Test func aBurstOfAnswersIsOneSnapshot() {
        #expect(control.tick() > 1_000)
        // Whoever had nobody is served at once…
        stage.answer("app0.test", ["10.0.0.1"])
        #expect(control.tick() == control.tick())
        #expect(addresses("s0") == ["10.0.0.1:80"])
        #expect(values.publishes == [1, 0, 1])
        // …and everything that comes close behind it goes into one snapshot.
        for number in 1..<50 {
            stage.answer("app\(number).test", ["10.0.0.\(number + 1)"])
            _ = control.tick()
            if number % 10 == 0 { stage.pass(ms: 1) }
        }
        #expect(values.publishes == [1, 0, 1])
        #expect(addresses("s49").isEmpty)
        #expect(control.tick() == 1_100)
        stage.state.withLock { $0.nowMs = 1_100 }
        _ = control.tick()
        #expect(values.publishes == [1, 0, 2])
        #expect(values.generation == 3)
        for number in 0..<50 { #expect(addresses("s\(number)") == ["10.0.0.\(number + 1):80"]) }
        #expect(values.lastPlans.services == .init(built: 49, reused: 1))
        #expect(values.lastPlans.routes == .init(built: 0, reused: 50))
        #expect(values.lastPlans.listeners == .init(built: 0, reused: 1))
    }

    @Test func anAnswerThatChangesWhatServesGathersForATenthOfASecond() {
        _ = control.tick()
        for number in 0..<50 { stage.answer("app\(number).test", ["10.0.0.1"]) }
        _ = control.tick()
        let before = values.publishes
        // Everything is asked anew, and some of it is elsewhere.
        stage.pass(ms: 300_000)
        _ = control.tick()
        let askedMs = control.nowMs
        for number in 0..<20 { stage.answer("app\(number).test", ["10.0.0.1", "10.0.0.2"]) }
        for _ in 0..<99 {
            stage.pass(ms: 1)
            _ = control.tick()
        }
        #expect(values.publishes == before)
        #expect(control.tick() == askedMs + 100)
        stage.pass(ms: 1)
        _ = control.tick()
        #expect(values.publishes[2] == before[2] + 1)
        #expect(addresses("s19").count == 2)
    }

    @Test func aReloadIsNotDelayedAndTakesAlongWhatHasGathered() {
        _ = control.tick()
        stage.answer("app0.test", ["10.0.0.1"])
        _ = control.tick()
        stage.answer("app1.test", ["10.0.0.2"])
        source.write(text(services: 50, drain: "11s"))
        let record = Locked<ReloadRecord?>(nil)
        control.requestReload { answer in record.withLock { $0 = answer } }
        #expect(record.withLock { $0 } == nil, "the control thread does it")
        _ = control.tick()
        #expect(record.withLock { $0?.generation } == 3)
        #expect(addresses("s1") == ["10.0.0.2:80"])
        #expect(control.current().configuration.drainMs == 11_000)
        stage.pass(ms: 200)
        _ = control.tick()
        #expect(values.publishes == [1, 1, 1], "nothing was left to publish")
    }

    @Test func aReloadBuildsWhatTheFileChanged() {
        let before = control.current().snapshot
        source.write(
            text(services: 50).replacing("path: /p7/* }", with: "path: /p7/* }, timeout: { head: 3s }"))
        control.reload()
        let after = control.current().snapshot
        #expect(values.lastPlans.listeners == .init(built: 0, reused: 1))
        #expect(values.lastPlans.routes == .init(built: 1, reused: 49))
        #expect(values.lastPlans.services == .init(built: 0, reused: 50))
        #expect(before.routes[7] !== after.routes[7])
        #expect(after.routes[7].headTimeoutMs == 3_000)
        // Addresses that came meanwhile are no reason to build anything but their service.
        _ = control.tick()
        stage.answer("app3.test", ["10.0.0.4"])
        _ = control.tick()
        #expect(values.lastPlans.services == .init(built: 1, reused: 49))
        #expect(values.lastPlans.routes == .init(built: 0, reused: 50))
        control.reload()
        #expect(values.lastPlans.services == .init(built: 0, reused: 50))
        #expect(addresses("s3") == ["10.0.0.4:80"])
    }

    @Test func thoseWhoWaitForAReloadAreAnsweredByOneReading() {
        let generations = Locked<[UInt64]>([])
        for _ in 0..<3 {
            control.requestReload { record in generations.withLock { $0.append(record.generation) } }
        }
        _ = control.tick()
        #expect(generations.withLock { $0 } == [2, 2, 2])
        source.write("listeners: {")
        control.requestReload { record in
            if case .refused = record.outcome { generations.withLock { $0.append(record.generation) } }
        }
        _ = control.tick()
        #expect(generations.withLock { $0 } == [2, 2, 2, 2])
        #expect(values.reloadFailures == 1)
    }

    /// While a snapshot is made everything can be looked at, and what is accepted is of the next one.
    @Test func readersDoNotWaitForASnapshotThatIsBeingMade() {
        _ = control.tick()
        source.write(text(services: 51))
        stage.shut(true)
        let made = stage.made
        let thread = RunningThread.start(name: "control") { [control] in _ = control.reload() }
        while stage.made == made { usleep(500) }

        #expect(control.current().snapshot.generation == 1)
        #expect(control.current().configuration.services.count == 50)
        #expect(control.history().held.isEmpty)
        #expect(values.generation == 1)
        #expect(!control.isDraining)
        #expect(
            control.administer(service: "s0", endpoint: "10.0.0.1:80", EndpointOrder(standing: .down)).isEmpty
        )
        let question = ExplainQuestion(method: "GET", url: "http://a.test/p7/x")
        #expect(control.explain(question).generation == 1)
        // Answers are accepted, and so is another wish.
        stage.answer("app7.test", ["10.0.0.8"])
        control.requestReload { _ in }
        #expect(control.current().names["app7.test"]?.addresses.count == 1)
        #expect(values.generation == 1)

        stage.shut(false)
        thread.join()
        #expect(control.current().snapshot.generation == 2)
        #expect(control.current().configuration.services.count == 51)
        #expect(control.current().names["app7.test"]?.addresses.count == 1, "nothing accepted is lost")
        _ = control.tick()
        stage.pass(ms: 100)
        _ = control.tick()
        #expect(addresses("s7") == ["10.0.0.8:80"])
        #expect(values.publishes[1] == 2)
    }
}
