package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sluice/access"
	"sluice/audit"
)

// erasingName holds an erased frame until it is safely in its segment: a crash
// in the middle of overwriting must not look like damage.
const erasingName = "erasing"

// Erase removes the body of record seq for good, as a law may demand, and
// appends why as an event that refers to it; that event comes first. What
// remains is a hash, with which the journal still verifies.
func (j *Journal) Erase(seq uint64, why *access.Event) error {
	if seq == 0 || seq > j.Durable() {
		return fmt.Errorf("journal: erase: no record %d", seq)
	}
	r, err := j.log.ReadSeq(noContext, seq)
	if err != nil {
		return err
	}
	defer r.Close()
	at := r.At()
	rec, err := r.Next(noContext)
	if err != nil {
		return err
	}
	if rec.Erased {
		return nil
	}
	mark, err := j.Append(why)
	if err == nil {
		err = j.Wait(noContext, mark)
	}
	if err != nil {
		return err
	}
	return overwrite(j.opts.Dir, at, rec.EraseFrame())
}

// overwrite replaces a frame by another of the same size, surviving a crash at
// any moment.
func overwrite(dir string, at audit.Position, frame []byte) error {
	plan := binary.LittleEndian.AppendUint64(nil, at.Segment)
	plan = binary.LittleEndian.AppendUint64(plan, uint64(at.Offset))
	plan = append(plan, frame...)
	path := filepath.Join(dir, erasingName)
	if err := writeSync(path+".new", plan); err != nil {
		return fmt.Errorf("journal: erase: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("journal: erase: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("journal: erase: %w", err)
	}
	return redoErase(dir)
}

// redoErase carries out an erasure that was planned, if there is one.
func redoErase(dir string) error {
	path := filepath.Join(dir, erasingName)
	plan, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal: erase: %w", err)
	}
	if len(plan) < 16 {
		return fmt.Errorf("journal: erase: %s is malformed", path)
	}
	segment := binary.LittleEndian.Uint64(plan)
	off := int64(binary.LittleEndian.Uint64(plan[8:]))
	f, err := openSync(filepath.Join(dir, audit.SegmentName(segment)))
	if err != nil {
		return fmt.Errorf("journal: erase: %w", err)
	}
	_, err = f.WriteAt(plan[16:], off)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("journal: erase: %w", err)
	}
	return os.Remove(path)
}
