// One client of the admin server: reads requests strictly, writes answers, never waits.
//
// States: reading a head (and skipping its body) → waiting, where somebody else is to do something first →
// writing the answer → reading again, or, after the last answer, lingering: our side is closed and what the client still sends is thrown away, so that a
// reset does not destroy the answer before it is read.

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor

final class AdminConnection {
    enum State { case reading, skippingBody, waiting, writing, lingering }

    let socket: Socket
    /// No two connections of a server have the same: descriptors are used again.
    let serial: UInt64
    private(set) var state = State.reading
    /// When the state was entered; for eviction.
    private(set) var sinceNs: UInt64
    /// When the connection is closed unless something happens.
    private(set) var deadlineNs: UInt64
    /// Readiness last asked of the poller.
    var watched: Readiness = []

    private var input: [UInt8] = []
    private var output: [UInt8] = []
    private var sent = 0
    private var bodyLeft: UInt64 = 0
    /// The connection ends with the next answer.
    var isLast = false
    private var lingerBytesLeft = 256 * 1024
    /// No answer takes longer than this however steadily it is read.
    private var answerDeadlineNs: UInt64 = .max
    private var pending = AdminRequest()

    static let headBytesMax = 16 * 1024
    static let fieldsMax = 100
    static let bodyBytesMax: UInt64 = 64 * 1024
    static let answersPerTurn = 8
    /// For a whole request, between requests, and without progress while answering.
    static let timeoutNs: UInt64 = 10_000_000_000
    static let answerNs: UInt64 = 60_000_000_000
    static let lingerNs: UInt64 = 1_000_000_000

    init(_ socket: Socket, serial: UInt64 = 0, nowNs: UInt64) {
        self.socket = socket
        self.serial = serial
        sinceNs = nowNs
        deadlineNs = nowNs + Self.timeoutNs
    }

    /// Nothing of a request has come.
    var isIdle: Bool { state == .reading && input.isEmpty }

    /// Goes as far as the socket allows. Returns what to wait for, nil when the connection is over. Nothing is
    /// waited for (`[]`) until the answer is there.
    /// - Parameter later: whom to tell of an answer that comes later (`answered`).
    func advance(
        _ routes: AdminRoutes, _ fields: UnsafeMutablePointer<Field>, nowNs: UInt64,
        later: @escaping @Sendable (AdminResponse) -> Void
    ) -> Readiness? {
        var answersLeft = Self.answersPerTurn
        while true {
            switch state {
            case .reading:
                // A client that pipelines without end must not keep the thread from the others.
                if answersLeft == 0, !input.isEmpty { return .writable }
                switch readHead(fields) {
                case .again: continue
                case .answer(let request): begin(routes.reply(to: request), request, nowNs, later)
                case .refuse(let response):
                    isLast = true
                    answer(response, AdminRequest(), nowNs)
                case .wait:
                    let wasEmpty = input.isEmpty
                    let count = receive()
                    if count == -Int(EAGAIN) { return .readable }
                    if count <= 0 { return nil }
                    if wasEmpty { enter(.reading, nowNs, Self.timeoutNs) }
                }
            case .skippingBody:
                let taken = min(UInt64(input.count), bodyLeft)
                input.removeFirst(Int(taken))
                bodyLeft -= taken
                if bodyLeft == 0 {
                    begin(routes.reply(to: pending), pending, nowNs, later)
                    continue
                }
                let count = receive()
                if count == -Int(EAGAIN) { return .readable }
                if count <= 0 { return nil }
            case .waiting:
                return []
            case .writing:
                let count = output.withUnsafeBufferPointer { bytes -> Int in
                    guard let base = bytes.baseAddress else { return 0 }
                    return socket.send(base + sent, bytes.count - sent)
                }
                if count == -Int(EAGAIN) { return .writable }
                if count <= 0 { return nil }
                sent += count
                deadlineNs = min(nowNs + Self.timeoutNs, answerDeadlineNs)
                if sent < output.count { continue }
                output = []
                sent = 0
                answersLeft -= 1
                if isLast {
                    socket.shutdownWrite()
                    enter(.lingering, nowNs, Self.lingerNs)
                } else {
                    enter(.reading, nowNs, Self.timeoutNs)
                }
            case .lingering:
                input = []
                let count = receive()
                if count == -Int(EAGAIN) { return .readable }
                if count <= 0 { return nil }
                lingerBytesLeft -= count
                if lingerBytesLeft <= 0 { return nil }
            }
        }
    }

    private func enter(_ state: State, _ nowNs: UInt64, _ timeoutNs: UInt64) {
        self.state = state
        sinceNs = nowNs
        deadlineNs = nowNs + timeoutNs
    }

    /// Appends what has arrived to the input; the count, 0 at the end, or -errno.
    private func receive() -> Int {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 4096) { room in
            guard let base = room.baseAddress else { return 0 }
            let count = socket.receive(base, room.count)
            if count > 0 { input.append(contentsOf: room[..<count]) }
            return count
        }
    }

    private enum HeadStep {
        case again, wait
        case answer(AdminRequest)
        case refuse(AdminResponse)
    }

    private func readHead(_ fields: UnsafeMutablePointer<Field>) -> HeadStep {
        guard !input.isEmpty else { return .wait }
        var limits = HeadLimits()
        limits.bytesMax = Self.headBytesMax
        limits.fieldsMax = Self.fieldsMax
        limits.targetBytesMax = 4096
        let parser = RequestParser(limits: limits)
        var head = RequestHead()
        var request = AdminRequest()
        let result = input.withUnsafeBufferPointer { bytes -> HeadResult in
            guard let base = bytes.baseAddress else { return .incomplete }
            let result = parser.parse(base, count: bytes.count, fields: fields, into: &head)
            if result == .complete { request = Self.request(base, head, fields) }
            return result
        }
        switch result {
        case .incomplete: return .wait
        case .malformed(let violation, let at):
            return .refuse(AdminResponse(400, "\(violation.text) (byte \(at))\n"))
        case .tooLarge(let limit):
            return .refuse(AdminResponse(limit == .target ? 414 : 431, "The request head is too large.\n"))
        case .complete: break
        }
        if !head.wantsKeepAlive { isLast = true }
        // A 101 or a 100 is never sent; a client that waits for one sends its body after a while.
        switch head.framing {
        case .none:
            input.removeFirst(Int(head.byteCount))
            return .answer(request)
        case .length:
            if head.contentLength > Self.bodyBytesMax {
                return .refuse(AdminResponse(413, "No request here needs a body.\n"))
            }
            input.removeFirst(Int(head.byteCount))
            bodyLeft = head.contentLength
            pending = request
            state = .skippingBody
            return .again
        case .chunked, .untilClose:
            return .refuse(AdminResponse(411, "No request here needs a body.\n"))
        }
    }

    private static func request(
        _ base: UnsafePointer<UInt8>, _ head: RequestHead, _ fields: UnsafeMutablePointer<Field>
    ) -> AdminRequest {
        var request = AdminRequest()
        request.method = head.methodName.text(in: base)
        request.path = head.path.isEmpty ? "/" : head.path.text(in: base)
        request.query = head.query.text(in: base)
        request.host = head.authority.text(in: base)
        withUnsafePointer(to: head) { head in
            let view = RequestView(bytes: base, head: head, fields: fields)
            func text(_ name: String) -> String? {
                view.field(named: name).map { String(decoding: $0, as: UTF8.self) }
            }
            request.origin = text("origin")
            request.fetchSite = text("sec-fetch-site")
            request.hasMarker = view.field(named: "x-weir-request") != nil
        }
        return request
    }

    private func begin(
        _ reply: AdminReply, _ request: AdminRequest, _ nowNs: UInt64,
        _ later: @escaping @Sendable (AdminResponse) -> Void
    ) {
        switch reply {
        case .now(let response): answer(response, request, nowNs)
        case .later(let begin):
            pending = request
            enter(.waiting, nowNs, Self.answerNs)
            begin(later)
        }
    }

    /// What was waited for is there; `advance` sends it.
    func answered(_ response: AdminResponse, nowNs: UInt64) {
        if state == .waiting { answer(response, pending, nowNs) }
    }

    private func answer(_ response: AdminResponse, _ request: AdminRequest, _ nowNs: UInt64) {
        var date = [UInt8](repeating: 0, count: 29)
        HTTPDate.write(secondsSinceEpoch: Int64(Clock.wallUs() / 1_000_000), to: &date)
        var head = "HTTP/1.1 \(response.status) \(reasonPhrase(response.status))\r\n"
        head += "Date: \(String(decoding: date, as: UTF8.self))\r\n"
        head += "Content-Type: \(response.contentType)\r\nContent-Length: \(response.body.count)\r\n"
        if let allow = response.allow { head += "Allow: \(allow)\r\n" }
        if isLast { head += "Connection: close\r\n" }
        head += Self.commonFields
        output = Array(head.utf8)
        if request.method != "HEAD" { output += response.body }
        sent = 0
        answerDeadlineNs = nowNs + Self.answerNs
        enter(.writing, nowNs, Self.timeoutNs)
    }

    /// The page loads nothing from elsewhere, runs only its own script and may not be framed.
    private static let commonFields =
        "Server: weir\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        + "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
        + "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
        + "Cross-Origin-Resource-Policy: same-origin\r\nReferrer-Policy: no-referrer\r\n\r\n"
}
