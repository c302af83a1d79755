package cluster

// A node whose disk is nearly full hands its work and its leadership to others. It takes both back when a quarter more is
// free than it then needs: else each segment removed or written would turn it about.
const enoughAgain = 1.25

// scarce tells whether less is free than a node needs, or than a multiple of it.
func scarce(free, total uint64, times float64) bool {
	return float64(free) < times*minFreeBytes || float64(free) < times*minFreeShare*float64(total)
}

// Low tells whether the disk is nearly full: true once Put refuses, until there is enough again.
func (s *Spool) Low() (bool, error) {
	free, total, err := s.space(s.dir)
	if err != nil {
		return s.low.Load(), err
	}
	times := 1.0
	if s.low.Load() {
		times = enoughAgain
	}
	low := scarce(free, total, times)
	s.low.Store(low)
	return low, nil
}

// SetDiskLow tells the others that this node's disk is nearly full, or that it is not any more. A leader then steps down if
// another voter can lead, and the node votes only where nobody else can.
func (n *Node) SetDiskLow(on bool) error {
	n.net.flags.set(func(f *flags) { f.diskLow = on })
	return n.look()
}
