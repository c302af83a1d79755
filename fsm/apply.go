package fsm

import (
	"fmt"
)

// apply changes the state by one command, or refuses it with one of the sentinels and changes nothing.
func (s *State) apply(c Command) error {
	switch c := c.(type) {
	case SubmitJob:
		return s.submitJob(c)
	case StartPass:
		return s.startPass(c)
	case FinishPass:
		return s.finishPass(c)
	case PauseJob:
		return s.pauseJob(c)
	case ContinueJob:
		return s.continueJob(c)
	case CancelJob:
		return s.cancelJob(c)
	case RetryJob:
		return s.retryJob(c)
	case RemoveJob:
		return s.removeJob(c)
	case RedoJob:
		return s.redoJob(c)
	case EditJob:
		return s.editJob(c)
	case SetJobLimits:
		return s.setJobLimits(c)
	case SetSettings:
		return s.setSettings(c)
	case SetNode:
		return s.setNode(c)
	case SetClusterID:
		return s.setClusterID(c)
	case FixPlaces:
		return s.fixPlaces(c)
	case PutToken:
		return s.putToken(c)
	case RemoveToken:
		return s.removeToken(c)
	case SwitchKey:
		return s.switchKey(c)
	case ResealJob:
		return s.resealJob(c)
	case RetireKey:
		return s.retireKey(c)
	case PostNotice:
		return s.postNotice(c)
	case AckNotices:
		return s.ackNotices(c)
	case ResealSetting:
		return s.resealSetting(c)
	case Recorded:
		return s.recorded(c)
	case Once:
		return s.once(c)
	case FoldSegments:
		return s.foldSegments(c)
	case AssignTasks:
		return s.assignTasks(c)
	case ReleaseTasks:
		return s.releaseTasks(c)
	case AdvanceTask:
		return s.advanceTask(c)
	case FailTask:
		return s.failTask(c)
	case SplitTask:
		return s.splitTask(c)
	case PlanUpload:
		return s.planUpload(c)
	case OpenUpload:
		return s.openUpload(c)
	case CloseUpload:
		return s.closeUpload(c)
	case ShareParts:
		return s.shareParts(c)
	default:
		panic(fmt.Sprintf("command %T is decoded but not applied", c))
	}
}
