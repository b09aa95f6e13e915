package eventlog

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// Sizes of an atomic batch. The server takes at most 1000 messages in one. With
// SyncAlways a batch costs three fsyncs, its staging among them, and a plain
// publish one: below minBatch plain ones are faster (measured).
const (
	minBatch = 8
	maxBatch = 1000
)

// publishBatches stores a group as atomic batches: all or none of a batch, in
// order, made durable by the server before it acks. This is the way where the
// committer cannot sync the server's files itself.
func (p *publisher) publishBatches(group []*entry) error {
	for chunk := range slices.Chunk(group, maxBatch) {
		if err := p.publishBatch(chunk); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) publishBatch(batch []*entry) error {
	var last error
	for range ackTries {
		ack, err := p.sendBatch(batch)
		switch {
		case err != nil:
			last = err
		case ack.Error == nil:
			first := ack.Sequence - uint64(len(batch)) + 1
			for i, e := range batch {
				e.acked, e.record.Seq = true, first+uint64(i)
				e.record.origin = newLeaf(e.msg.Subject, leafFields(e.msg.Header), e.msg.Data) // the batch's headers among it
			}
			return nil
		case ack.Error.ErrorCode == jetstreamext.JSErrCodeBatchPublishDuplicateMsgID:
			// An earlier try went through and its ack was lost, or a caller repeats
			// a record. Asked one by one the server says what it has and where.
			return p.publishSingly(batch)
		case ack.Error.ErrorCode == jetstreamext.JSErrCodeBatchPublishIncomplete || ack.Error.Code >= 500 || ack.Error.Code == 429:
			last = ack.Error
		default:
			return p.publishSingly(batch) // one of them is refused: find out which
		}
	}
	return fmt.Errorf("a batch of %d records: %w", len(batch), last)
}

// sendBatch sends all messages of a batch, the last one with the commit, and
// waits for the one answer.
func (p *publisher) sendBatch(batch []*entry) (ack, error) {
	id := nats.NewInbox()[len(nats.InboxPrefix):]
	for i, e := range batch {
		e.msg.Reply = ""
		e.msg.Header.Set(jetstreamext.BatchIDHeader, id)
		e.msg.Header.Set(jetstreamext.BatchSeqHeader, strconv.Itoa(i+1))
		e.msg.Header.Del(jetstreamext.BatchCommitHeader)
		if i == len(batch)-1 {
			break
		}
		if err := p.nc.PublishMsg(e.msg); err != nil {
			return ack{}, fmt.Errorf("publishing: %w", err)
		}
	}
	commit := batch[len(batch)-1]
	commit.msg.Header.Set(jetstreamext.BatchCommitHeader, "1")
	m, err := p.nc.RequestMsg(commit.msg, p.timeout)
	if err != nil {
		return ack{}, err
	}
	if p.dropAck != nil && p.dropAck(commit.record.ID) {
		return ack{}, nats.ErrTimeout
	}
	a, err := parseAck(m)
	if err == nil && a.Error == nil && (a.Batch != id || a.Count != uint64(len(batch))) {
		err = fmt.Errorf("the ack of batch %q with %d records is for batch %q with %d", id, len(batch), a.Batch, a.Count)
	}
	return a, err
}

// publishSingly sends each record on its own and waits for its answer before the
// next, which keeps their order whatever becomes of one.
func (p *publisher) publishSingly(batch []*entry) error {
	for i, e := range batch {
		e.msg.Header.Del(jetstreamext.BatchIDHeader)
		e.msg.Header.Del(jetstreamext.BatchSeqHeader)
		e.msg.Header.Del(jetstreamext.BatchCommitHeader)
		if err := p.publishEach(batch[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}
