DROP TABLE reconciliation_differences, reconciliations, dispute_decisions, dispute_answers, disputes;
DROP FUNCTION dispute_is_final, dispute_answer_is_final, dispute_decision_is_final, reconciliation_is_final;
