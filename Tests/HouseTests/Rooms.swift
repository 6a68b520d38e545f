// The rooms of the data plane (folders of Sources/Proxy), top to bottom: a room calls only rooms below its own.
// The same list stands in ARCHITECTURE.md.

enum Rooms {
    static let all = [
        "Loop", "HTTP", "TCP", "UDP", "Phases", "Policies", "Files", "Answers", "Upgrades", "Heads",
        "Attempts",
        "Bodies", "Codecs", "Exchanges", "Carriers", "Listening", "Connections", "Worker", "State", "HTTP2",
        "Transports",
        "Snapshot",
    ]

    /// A call of a function of another room.
    struct Call: Hashable, Comparable {
        let from: String
        let to: String
        let file: String
        let function: String

        var isUpward: Bool {
            guard let from = all.firstIndex(of: from), let to = all.firstIndex(of: to) else { return true }
            return to < from
        }

        static func < (a: Self, b: Self) -> Bool { (a.file, a.function) < (b.file, b.function) }
    }

    /// The room of a source of the data plane; nil: it is none, or stands in no room.
    static func room(of source: Source) -> String? {
        let parts = source.path.split(separator: "/")
        return source.module == "Proxy" && parts.count > 3 ? String(parts[2]) : nil
    }

    /// Calls between rooms, by names of functions that only one room defines.
    ///
    /// Text only. What the worker does is called without a receiver; what an exchange notes, by its name.
    static let calls: [Call] = {
        let sources = Repository.sources.filter { $0.module == "Proxy" }
        var owners: [String: Set<String>] = [:]
        for source in sources {
            guard let room = room(of: source) else { continue }
            for line in source.code {
                for match in line.matches(of: /func `?(\w+)/) {
                    owners[String(match.output.1), default: []].insert(room)
                }
            }
        }
        // By default "exchange.fail" would be one word, and its call unseen.
        let call = /(exchange\.|worker\.|\.)?\b(\w+)\(/.wordBoundaryKind(.simple)
        var found: Set<Call> = []
        for source in sources {
            guard let from = room(of: source) else { continue }
            for line in source.code where !line.contains("func ") && !line.contains(" case ") {
                for match in line.matches(of: call) {
                    let name = String(match.output.2)
                    if match.output.1 == "." { continue }
                    guard let rooms = owners[name], rooms.count == 1, let to = rooms.first, to != from else {
                        continue
                    }
                    found.insert(Call(from: from, to: to, file: source.path, function: name))
                }
            }
        }
        return found.sorted()
    }()

    /// The rooms as boxes, top to bottom, with an arrow for the calls of one to another; the thicker, the more.
    static var picture: String {
        let width = 200
        let height = 34
        let step = 52
        let left = 40
        var counts: [[String]: Int] = [:]
        for call in calls { counts[[call.from, call.to], default: 0] += 1 }
        let total = all.count * step + 40
        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 \(total)\" font-family=\"sans-serif\""
                + " font-size=\"15\">",
            "<rect width=\"900\" height=\"\(total)\" fill=\"#ffffff\"/>",
        ]
        func y(_ i: Int) -> Int { 20 + i * step }
        for (i, from) in all.enumerated() {
            for (j, to) in all.enumerated() {
                guard let count = counts[[from, to]] else { continue }
                let distance = abs(j - i)
                let bulge = left + width + 28 * distance
                let (y1, y2) = (y(i) + height * 2 / 3, y(j) + height / 3)
                let x = left + width
                let color = j > i ? "#3b6ea5" : "#c62828"
                let stroke = 0.6 + Double(min(count, 30)) / 10
                lines.append(
                    "<path d=\"M \(x) \(y1) C \(bulge) \(y1), \(bulge) \(y2), \(x + 6) \(y2)\" fill=\"none\""
                        + " stroke=\"\(color)\" stroke-opacity=\"0.55\" stroke-width=\"\(stroke)\">"
                        + "<title>\(from) calls \(to): \(count)</title></path>")
                lines.append(
                    "<path d=\"M \(x) \(y2) l 9 -4 l 0 8 z\" fill=\"\(color)\"/>")
            }
        }
        for (i, room) in all.enumerated() {
            lines.append(
                "<rect x=\"\(left)\" y=\"\(y(i))\" width=\"\(width)\" height=\"\(height)\" rx=\"5\""
                    + " fill=\"#eef3f8\" stroke=\"#3b6ea5\"/>")
            lines.append(
                "<text x=\"\(left + width / 2)\" y=\"\(y(i) + 22)\" text-anchor=\"middle\">\(room)</text>")
        }
        lines.append("</svg>")
        return lines.joined(separator: "\n") + "\n"
    }
}
