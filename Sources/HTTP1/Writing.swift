import HTTPModel

/// Writes the line that opens a chunk: its size in hexadecimal and CRLF.
public func writeChunkHeader(_ size: Int, _ writer: inout ByteWriter) {}

/// The reason phrase for a status; empty for one without.
public func reasonPhrase(_ status: UInt16) -> StaticString { "" }
