package eventloop

// A line is a queue of connections.
type line struct {
	conns []*Conn
	first int
}

func (q *line) len() int { return len(q.conns) - q.first }

func (q *line) push(c *Conn) {
	if len(q.conns) == cap(q.conns) && q.first > len(q.conns)/2 {
		n := copy(q.conns, q.conns[q.first:])
		clear(q.conns[n:])
		q.conns, q.first = q.conns[:n], 0
	}
	q.conns = append(q.conns, c)
}

// pop removes the first; nil: there is none.
func (q *line) pop() *Conn {
	if q.len() == 0 {
		return nil
	}
	c := q.conns[q.first]
	q.conns[q.first] = nil
	if q.first++; q.first == len(q.conns) {
		q.conns, q.first = q.conns[:0], 0
	}
	return c
}
