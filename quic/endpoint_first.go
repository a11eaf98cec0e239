package quic

import "github.com/frittata-go/frittata/quic/internal/wire"

// FlightPolicy says what becomes of the first Initial of a client, before anything is kept of it or allocated for it.
type FlightPolicy uint8

const (
	// AskFlights: the first flight waits, and the caller decides by VerdictIncoming. It is the zero value.
	AskFlights FlightPolicy = iota
	// RetryFlights: the client gets a Retry as a VerdictReply, unless it has answered one. Then it is as under AskFlights.
	RetryFlights
	// RefuseFlights: the client is told by a VerdictReply that the connection is refused.
	RefuseFlights
	// DropFlights: nothing is computed for the client, be it a look at its token.
	DropFlights
)

// SetFlights sets the policy for first Initials. Flights that wait already still get the
// rest of their datagrams, and those that were admitted still lead to their connections.
func (e *Endpoint) SetFlights(p FlightPolicy) { e.first = p }

// begin decides about a client's first Initial.
func (e *Endpoint) begin(key flightKey, d *Datagram, h *wire.Header) Verdict {
	in := Incoming{
		remote: d.Remote, local: d.Local, socket: d.Socket, version: h.Version,
		dstID: key.id, srcID: NewConnID(h.SrcID), origDstID: key.id,
		received: e.now, key: key,
	}
	if e.first == RefuseFlights {
		return e.refuse(&in, ConnectionRefused, AnswerRefusal, &e.counts.Refusals)
	}
	// The caps come first: what they turn away costs no cryptography.
	room := e.pendingRoom(len(d.Data))
	if !room && (e.first != RetryFlights || len(h.Token) > 0) {
		return drop(DropPendingFull)
	}
	if len(h.Token) > 0 {
		switch t, state := e.openToken(h.Token, in.remote, in.dstID); state {
		case tokenValid:
			in.origDstID, in.retrySrcID = t.origDstID, in.dstID
			in.retried, in.validated = true, true
		case tokenInvalid:
			// The client has spent its one Retry and would try in vain until
			// it times out (RFC 9000, Section 8.1.2).
			return e.refuse(&in, InvalidToken, AnswerInvalidToken, &e.counts.InvalidTokens)
		case tokenUnknown:
			// RFC 9000, Section 8.1.3: as if there was none.
		}
	}
	if !in.validated && in.dstID.Len() < minInitialDstIDLen {
		// RFC 9000, Section 7.2
		if len(h.Token) > 0 {
			return drop(DropToken)
		}
		return drop(DropMalformed)
	}
	if e.first == RetryFlights && !in.validated {
		if !e.replyLimit.take(e.now) {
			return rateLimited(AnswerRetry)
		}
		e.sealRetry(&in)
		return e.answer(AnswerRetry, &e.counts.Retries)
	}
	p := new(Incoming)
	*p = in
	e.insertPending(p, d)
	return Verdict{Kind: VerdictIncoming, Incoming: p}
}

// refuse answers a first flight with the reason for which there will be no connection.
func (e *Endpoint) refuse(in *Incoming, code TransportErrorCode, a Answer, count *uint64) Verdict {
	if !e.replyLimit.take(e.now) {
		return rateLimited(a)
	}
	e.sealClose(in, code)
	return e.answer(a, count)
}
