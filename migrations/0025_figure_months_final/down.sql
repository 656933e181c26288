ALTER TABLE figure_months DROP COLUMN is_final;
