// Kinds of tokens. Each is declared in an extension beside what its events are about, with a number nobody else has:
// `static let mine: UInt8 = 17`, at most 63. The room that claims it (`Room.kinds`) gets its events; two claims on one
// number, or one beyond the bound, stop the program at its start, an event of a kind that nobody claims when it comes.

enum TokenKind {}
