// Keeps the OCSP responses that are stapled to certificates fresh: asks responders, verifies what they
// say, publishes it to the handshakes.
//
// One thread, one question at a time: answers live for days, and nothing waits for them. Whatever goes
// wrong with a responder costs the staple at most, never a connection: the answer in use stays until it
// expires, then none is stapled. Certificates are known by their fingerprint, so a reload, or the same
// certificate in several listeners, keeps one answer.

import Glibc
import HTTPClient
import Reactor
import Synchronization
import TLS
import Telemetry

/// Wakes a thread that waits, for news or for good.
private final class Waker: Sendable {
    private let mailbox = Mailbox<Never>()
    private let isEnding = Atomic(false)

    var isStopped: Bool { isEnding.load(ordering: .acquiring) }

    func wake() { mailbox.wake() }

    func stop() {
        isEnding.store(true, ordering: .releasing)
        mailbox.wake()
    }

    /// Waits for events of a descriptor (-1: none), at most until a time in monotonic milliseconds.
    /// - Returns: whether they came; false also when woken.
    func wait(_ descriptor: Int32, _ events: Int32, untilMs: UInt64) -> Bool {
        let nowMs = Clock.monotonicNs() / 1_000_000
        var watched = [
            pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: descriptor, events: Int16(events), revents: 0),
        ]
        poll(&watched, 2, Int32(clamping: untilMs > nowMs ? untilMs - nowMs : 0))
        if watched[0].revents != 0 { _ = mailbox.takeAll() }
        return watched[1].revents != 0
    }
}

/// The staples of all listeners, and what is known about their certificates for the metrics.
public final class StapleKeeper: Sendable {
    private struct Entry {
        /// The first file the configuration names it by, for the log.
        var path: String
        var question: OCSPQuestion
        var slots: [StapleSlot] = []
        var schedule = StapleSchedule()
        /// What is stapled.
        var response: [UInt8] = []
        var answer: OCSPAnswer?
    }
    private struct State {
        var rows: [CertificateSet.Row] = []
        /// By the certificate's fingerprint.
        var entries: [[UInt8]: Entry] = [:]
        var thread: RunningThread?
    }
    private enum Step {
        case ask([UInt8], OCSPQuestion)
        case wait(untilMs: UInt64)
    }

    /// A clock that is set forward shows within this time.
    private static let lookMs: UInt64 = 30_000

    private let state = Locked(State())
    private let waker = Waker()
    private let client: HTTPClient
    private let log: Log
    private let metrics: CertificateMetrics
    private let random: @Sendable () -> Double

    /// - Parameter random: 0…1, for the waits between tries.
    public init(
        client: HTTPClient, log: Log, metrics: CertificateMetrics, random: @escaping @Sendable () -> Double
    ) {
        self.random = random
        self.client = client
        self.log = log
        self.metrics = metrics
    }

    /// Takes over what the listeners show from now on. Call before anybody is served with it: what is
    /// known already is stapled at once.
    public func adopt(_ set: CertificateSet) {
        state.withLock { state in
            state.rows = set.rows
            let old = state.entries
            state.entries = [:]
            for row in state.rows {
                guard case .success(let question) = row.certificate.question,
                    let slot = row.certificate.staple
                else { continue }
                let key = row.certificate.info.fingerprint
                var entry: Entry
                if let begun = state.entries[key] {
                    entry = begun
                } else if let known = old[key] {
                    entry = known
                    entry.question = question
                    entry.slots = []
                } else {
                    entry = Entry(path: row.path, question: question)
                }
                if old[key]?.slots.contains(where: { $0 === slot }) != true { slot.publish(entry.response) }
                entry.slots.append(slot)
                state.entries[key] = entry
            }
            if !state.entries.isEmpty, state.thread == nil {
                state.thread = RunningThread.start(name: "weir-ocsp") { self.run() }
            }
            publishMetrics(state)
        }
        waker.wake()
    }

    /// Ends the thread, in the middle of a question too.
    public func stop() {
        waker.stop()
        let thread = state.withLock { state in
            defer { state.thread = nil }
            return state.thread
        }
        thread?.join()
    }

    // MARK: the thread

    private func run() {
        while !waker.isStopped {
            switch next() {
            case .wait(let untilMs):
                _ = waker.wait(-1, 0, untilMs: untilMs)
            case .ask(let key, let question):
                guard let answered = ask(question) else { return }
                finish(key, question, answered)
            }
        }
    }

    /// - Returns: the responder's answer, or what is wrong with it; nil when the thread is to end.
    private func ask(_ question: OCSPQuestion) -> Result<[UInt8], OCSPProblem>? {
        guard let request = OCSPExchange.request(question) else {
            return .failure(.badURL(question.responder))
        }
        let answers = Mailbox<Result<HTTPClient.Response, HTTPClient.Failure>>()
        let call = client.send(request) { answers.send($0) }
        while true {
            // The client has the deadlines.
            _ = waker.wait(answers.descriptor, POLLIN, untilMs: .max)
            if let answered = answers.takeAll().first { return OCSPExchange.body(answered) }
            if waker.isStopped {
                call.cancel()
                return nil
            }
        }
    }

    /// Drops what has expired, and says what to do.
    private func next() -> Step {
        let nowMs = Clock.monotonicNs() / 1_000_000
        let nowSeconds = Int64(Clock.wallUs() / 1_000_000)
        return state.withLock { state in
            var untilMs = nowMs + Self.lookMs
            var due: Step?
            for key in state.entries.keys {
                guard let entry = state.entries[key] else { continue }
                if let answer = entry.answer {
                    let leftSeconds = answer.expiresSeconds - nowSeconds
                    if leftSeconds > 0 {
                        untilMs = min(untilMs, nowMs + UInt64(min(leftSeconds, 86_400)) * 1_000)
                    } else {
                        drop(key, &state)
                    }
                }
                if entry.schedule.isDue(nowMs: nowMs) {
                    due = .ask(key, entry.question)
                } else {
                    untilMs = min(untilMs, entry.schedule.nextMs)
                }
            }
            return due ?? .wait(untilMs: untilMs)
        }
    }

    private func drop(_ key: [UInt8], _ state: inout State) {
        guard var entry = state.entries[key] else { return }
        entry.answer = nil
        entry.response = []
        for slot in entry.slots { slot.publish([]) }
        state.entries[key] = entry
        log.warning("OCSP response has expired, none is stapled", ["certificate": entry.path])
        publishMetrics(state)
    }

    private func finish(
        _ key: [UInt8], _ question: OCSPQuestion, _ answered: Result<[UInt8], OCSPProblem>
    ) {
        let nowMs = Clock.monotonicNs() / 1_000_000
        let nowSeconds = Int64(Clock.wallUs() / 1_000_000)
        let jitter = random()
        state.withLock { state in
            // A reload in the meantime may have done away with the certificate.
            guard var entry = state.entries[key] else { return }
            var problem: String?
            switch answered {
            case .failure(let error): problem = error.description
            case .success(let response):
                do throws(OCSPRefusal) {
                    let answer = try question.judge(response)
                    if let refusal = answer.refusal(nowSeconds: nowSeconds, known: entry.answer) {
                        throw refusal
                    }
                    tell(answer, entry)
                    entry.answer = answer
                    entry.response = response
                    for slot in entry.slots { slot.publish(response) }
                    entry.schedule.taken(answer, nowSeconds: nowSeconds, nowMs: nowMs)
                } catch {
                    problem = error.description
                }
            }
            metrics.asked(wasTaken: problem == nil)
            if let problem {
                entry.schedule.failed(nowMs: nowMs, jitter: jitter)
                log.warning(
                    "OCSP response not taken",
                    [
                        "certificate": entry.path, "responder": question.responder, "error": problem,
                        "stapled": entry.answer.map { "until \(Self.moment($0.expiresSeconds))" } ?? "none",
                        "retry": "\((entry.schedule.nextMs - nowMs) / 1_000)s",
                    ])
            }
            state.entries[key] = entry
            publishMetrics(state)
        }
    }

    private func tell(_ answer: OCSPAnswer, _ entry: Entry) {
        if case .revoked(let atSeconds) = answer.status {
            log.error(
                "CERTIFICATE REVOKED: clients that ask are told so; replace it",
                [
                    "certificate": entry.path, "revoked": Self.moment(atSeconds),
                    "responder": entry.question.responder,
                ])
        }
        log.info(
            "OCSP response stapled",
            ["certificate": entry.path, "status": answer.word, "until": Self.moment(answer.expiresSeconds)])
    }

    /// 2026-11-21T04:30:00Z.
    private static func moment(_ seconds: Int64) -> String {
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let inDay = ((seconds % 86_400) + 86_400) % 86_400
        return "\(CalendarDay(seconds))T\(two(inDay / 3_600)):\(two(inDay / 60 % 60)):\(two(inDay % 60))Z"
    }

    // MARK: metrics

    private func publishMetrics(_ state: State) {
        metrics.set(
            state.rows.map { row in
                var values = CertificateValues(
                    listener: row.listener, certificate: row.path, notAfter: row.certificate.info.notAfter)
                if row.certificate.staple != nil {
                    let answer =
                        row.certificate.statusGiven ?? state.entries[row.certificate.info.fingerprint]?.answer
                    values.staple = .init(
                        notAfter: answer?.expiresSeconds ?? 0, isRevoked: answer?.isRevoked ?? false)
                }
                return values
            })
    }
}

extension OCSPAnswer {
    /// For logs and tables.
    public var word: String {
        switch status {
        case .good: "good"
        case .revoked: "revoked"
        case .unknown: "unknown"
        }
    }

    var isRevoked: Bool { if case .revoked = status { true } else { false } }
}
