// HTTP/1.1 as peers of a simulation speak it: plain and independent of Weir's own parsers, which are what is tested.

import Glibc

/// What bodies are made of: from its place in this, every byte of a body is known.
enum Pattern {
    private static let bytes: [UInt8] = {
        var state: UInt64 = 0x2545_f491_4f6c_dd1d
        return (0..<(1 << 21)).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return UInt8(truncatingIfNeeded: state >> 32)
        }
    }()

    static let sizeMax = 1 << 20

    private static func place(_ number: Int, isResponse: Bool) -> Int {
        (number &* 7_919 &+ (isResponse ? 524_287 : 0)) & (sizeMax - 1)
    }

    static func body(_ number: Int, isResponse: Bool, _ size: Int) -> ArraySlice<UInt8> {
        let place = place(number, isResponse: isResponse)
        return bytes[place..<place + size]
    }

    static func matches(_ found: UnsafePointer<UInt8>, _ count: Int, _ number: Int, isResponse: Bool, at: Int)
        -> Bool
    {
        let from = place(number, isResponse: isResponse) + at
        guard from + count <= bytes.count else { return false }
        return bytes.withUnsafeBufferPointer { memcmp($0.baseAddress! + from, found, count) == 0 }
    }
}

/// How the end of a body is told.
enum Framing {
    case length, chunked, untilEnd
}

/// A body as it goes over the wire.
func framed(_ body: ArraySlice<UInt8>, _ framing: Framing, _ chance: inout Chance) -> [UInt8] {
    guard framing == .chunked else { return Array(body) }
    var out: [UInt8] = []
    out.reserveCapacity(body.count + 64)
    var from = body.startIndex
    while from < body.endIndex {
        let count = min(body.endIndex - from, 1 + chance.size(max(body.count / 3, 1)))
        out += Array("\(String(count, radix: 16))\r\n".utf8)
        out += body[from..<from + count]
        out += [13, 10]
        from += count
    }
    return out + Array("0\r\n\r\n".utf8)
}

/// Reads messages of one direction of a connection.
struct MessageReader {
    struct Head {
        /// Of requests.
        var method = ""
        var target = ""
        /// Of responses.
        var status = 0
        /// The number of the request, as peers write it into both.
        var number = -1
        var framing = Framing.untilEnd
        var length = 0
        var closes = false
    }
    enum Event {
        case head(Head)
        case end
    }
    private enum Part {
        case head, counted, chunkSize, chunkEnd, trailers, untilEnd
    }

    let isRequest: Bool
    /// Whether the next response has no body, whatever its head says.
    var isHeadOnly = false
    /// Of the message at hand.
    private(set) var head = Head()
    private(set) var bodyBytes = 0
    /// A byte of a body was not the one that was sent.
    private(set) var isCorrupt = false
    /// Not HTTP.
    private(set) var isMalformed = false
    private var part = Part.head
    private var left = 0
    private var buffer: [UInt8] = []
    private var at = 0

    init(isRequest: Bool) { self.isRequest = isRequest }

    /// Whether a message has begun that has not ended.
    var isWithin: Bool { part != .head || at < buffer.count }
    /// Whether the head of the message at hand is there.
    var hasHead: Bool { part != .head }

    mutating func take(_ bytes: UnsafeBufferPointer<UInt8>) {
        if at > 0 {
            buffer.removeFirst(at)
            at = 0
        }
        buffer += bytes
    }

    /// The connection has ended; true: and with it the message.
    mutating func takeEnd() -> Bool {
        guard part == .untilEnd else { return false }
        part = .head
        return true
    }

    /// The next thing that is there in full. Bytes of bodies are looked at on the way.
    mutating func next() -> Event? {
        while !isMalformed {
            switch part {
            case .head:
                guard let lines = lines() else { return nil }
                read(lines)
                bodyBytes = 0
                if isMalformed { return nil }
                if !isRequest, head.status < 200 { continue }
                begin()
                return .head(head)
            case .counted:
                if left == 0 {
                    if head.framing == .chunked {
                        part = .chunkEnd
                        continue
                    }
                    part = .head
                    return .end
                }
                if !body(left) { return nil }
            case .untilEnd:
                if !body(.max) { return nil }
            case .chunkSize:
                guard let line = line() else { return nil }
                guard let size = Int(line, radix: 16) else {
                    isMalformed = true
                    return nil
                }
                left = size
                part = size == 0 ? .trailers : .counted
            case .chunkEnd:
                guard let line = line() else { return nil }
                if !line.isEmpty { isMalformed = true }
                part = .chunkSize
            case .trailers:
                guard let line = line() else { return nil }
                if !line.isEmpty { continue }
                part = .head
                return .end
            }
        }
        return nil
    }

    private mutating func begin() {
        if isHeadOnly || head.status == 204 || head.status == 304 {
            part = .counted
            left = 0
            head.framing = .length
        } else {
            switch head.framing {
            case .chunked: part = .chunkSize
            case .length:
                part = .counted
                left = head.length
            case .untilEnd: part = .untilEnd
            }
        }
    }

    /// Looks at what is there of the body.
    private mutating func body(_ most: Int) -> Bool {
        let count = min(buffer.count - at, most)
        if count == 0 { return false }
        if head.number >= 0 {
            let isRight = buffer.withUnsafeBufferPointer {
                Pattern.matches(
                    $0.baseAddress! + at, count, head.number, isResponse: !isRequest, at: bodyBytes)
            }
            if !isRight { isCorrupt = true }
        }
        bodyBytes += count
        at += count
        if left != .max { left -= count }
        return true
    }

    private mutating func line() -> String? {
        let end = buffer.withUnsafeBufferPointer { bytes -> Int? in
            guard at < bytes.count, let base = bytes.baseAddress,
                let found = memchr(base + at, 10, bytes.count - at)
            else { return nil }
            return UnsafeRawPointer(found) - UnsafeRawPointer(base)
        }
        guard let end, end > at, buffer[end - 1] == 13 else { return nil }
        defer { at = end + 1 }
        return String(decoding: buffer[at..<end - 1], as: UTF8.self)
    }

    /// The lines of a head that is there in full.
    private mutating func lines() -> [String]? {
        let start = at
        var lines: [String] = []
        while let line = line() {
            if line.isEmpty { return lines }
            lines.append(line)
        }
        at = start
        return nil
    }

    private mutating func read(_ lines: [String]) {
        head = Head()
        let first = lines[0].split(separator: " ", maxSplits: 2)
        guard first.count >= 2 else { return isMalformed = true }
        if isRequest {
            head.method = String(first[0])
            head.target = String(first[1])
            head.framing = .length
        } else {
            guard first[0] == "HTTP/1.1", let status = Int(first[1]) else { return isMalformed = true }
            head.status = status
        }
        for line in lines.dropFirst() {
            guard let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")) else { return isMalformed = true }
            let value = String(line[line.index(after: colon)...].drop { $0 == " " })
            switch line[..<colon].lowercased() {
            case "content-length":
                head.length = Int(value) ?? -1
                if head.framing != .chunked { head.framing = .length }
            case "transfer-encoding": head.framing = .chunked
            case "x-number": head.number = Int(value) ?? -1
            case "connection": head.closes = value.lowercased().contains("close")
            default: break
            }
        }
        if head.length < 0 { isMalformed = true }
    }
}
